
import Yams
@main struct M { static func main() { print("warm") } }
