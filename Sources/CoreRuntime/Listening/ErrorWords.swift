import Glibc
import NIOCore

extension Error {
    /// The error as text for an operator: for a system error, the system's message.
    package var words: String {
        guard let error = self as? IOError else { return "\(self)" }
        return String(cString: strerror(error.errnoCode))
    }

    /// The same for a failure to listen on an address, with advice.
    package var wordsOfBinding: String {
        guard let error = self as? IOError else { return words }
        return bindingWords(errno: error.errnoCode)
    }
}

/// The system's message for a failure to listen on an address, with advice.
package func bindingWords(errno: Int32) -> String {
    let advice =
        switch errno {
        case EADDRINUSE: ": another program has it, perhaps another Sluice; ss -lntup shows which"
        case EACCES: ": ports below 1024 need the capability CAP_NET_BIND_SERVICE"
        case EADDRNOTAVAIL: ": this machine has no such address; ip address shows those it has"
        default: ""
        }
    return String(cString: strerror(errno)) + advice
}

/// The same for an errno, or for a negative EAI_ code: a host name without an address.
package func bindingWords(result: Int32) -> String {
    result < 0 ? String(cString: gai_strerror(result)) : bindingWords(errno: result)
}
