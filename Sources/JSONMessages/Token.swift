import Synchronization

/// Names that nobody else has.
package enum Token {
    /// One nobody can guess: 128 bits of the system's randomness as 32 hexadecimal digits.
    package static func random() -> String {
        var generator = SystemRandomNumberGenerator()
        return hexadecimal(generator.next()) + hexadecimal(generator.next())
    }

    /// A name of its own, as long, that need not be hard to guess: the system is asked for randomness once.
    package static func unique() -> String {
        process + hexadecimal(UInt64(truncatingIfNeeded: count.wrappingAdd(1, ordering: .relaxed).newValue))
    }

    private static let process = String(random().prefix(16))
    private static let count = Atomic(0)

    package static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
}
