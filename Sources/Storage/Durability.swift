/// What an acknowledgement promises of what it acknowledges.
package enum Durability: String, CaseIterable, Sendable {
    /// It survives the machine's end: on disk first.
    case strict
    /// It survives the process's end: the operating system has it first.
    case process
    /// Nothing: it is on its way.
    case none
}
