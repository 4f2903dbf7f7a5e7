/// Why a store can't be opened, in words that say what to do.
package struct StoreRefused: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
