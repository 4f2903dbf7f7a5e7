package import BrokerCore
import MQTTCodec

/// Lets clients use the topics an access control list allows them.
package final class ListAuthorizer: Authorizer, @unchecked Sendable {
    // Sendable as a handle; it is used on the core loop only.

    private var list: AccessControlList
    private let file: String

    /// - Parameter file: what the log calls its file.
    package init(_ list: AccessControlList, file: String = "acl") {
        self.list = list
        self.file = file
    }

    /// Goes on with another list; the broker is to be told by `permissionsChanged`.
    package func replace(_ list: AccessControlList) { self.list = list }

    package func mayPublish(_ topic: String, client: ClientIdentity) -> Bool {
        list.allows(.write, topic.utf8Span.span.bytes, client)
    }

    /// A filter with wildcards is granted when it can match anything the client may read: the rest is left out when
    /// messages are delivered.
    package func maySubscribe(_ filter: String, client: ClientIdentity) -> Bool {
        let hasWildcards = filter.utf8.contains { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") }
        let bytes = filter.utf8Span.span.bytes
        return hasWildcards ? list.mayReadSome(bytes, client) : list.allows(.read, bytes, client)
    }

    package func rule(against action: Event.Action, _ topic: String, client: ClientIdentity) -> String? {
        list.lineOfDenial(topic.utf8Span.span.bytes, client).map { "\(file):\($0)" } ?? "no rule allows it"
    }

    package func mayReceive(_ topic: String, client: ClientIdentity) -> Bool {
        list.allows(.read, topic.utf8Span.span.bytes, client)
    }
}
