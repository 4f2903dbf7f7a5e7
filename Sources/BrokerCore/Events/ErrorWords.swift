import Glibc
import NIOCore

extension Error {
    /// In words for an operator: of an error of the system, what the system says.
    package var words: String {
        guard let error = self as? IOError else { return "\(self)" }
        return String(cString: strerror(error.errnoCode))
    }
}
