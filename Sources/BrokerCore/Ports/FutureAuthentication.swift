/// An answer to credentials that is not known yet, for example to a password, whose check is slow on purpose.
package protocol FutureAuthentication: AnyObject, Sendable {
    /// Calls `body` once with the answer, on any thread; at once when there is an answer already.
    func whenAnswered(_ body: @escaping @Sendable (Authentication) -> Void)
}
