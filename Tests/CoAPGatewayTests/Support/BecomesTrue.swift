import NIOCore

/// Looks until something is so; false when it is not within 20 seconds.
func becomesTrue(_ condition: () -> Bool) async -> Bool {
    let deadline = NIODeadline.now() + .seconds(20)
    while !condition() {
        guard NIODeadline.now() < deadline else { return false }
        try? await Task.sleep(for: .milliseconds(5))
    }
    return true
}
