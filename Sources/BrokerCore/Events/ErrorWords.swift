import Glibc
import NIOCore

extension Error {
    /// In words for an operator: of an error of the system, what the system says.
    package var words: String {
        guard let error = self as? IOError else { return "\(self)" }
        return String(cString: strerror(error.errnoCode))
    }

    /// The same for an address that could not be listened on, with what to do.
    package var wordsOfBinding: String {
        guard let error = self as? IOError else { return words }
        return bindingWords(errno: error.errnoCode)
    }
}

/// What the system says of an address that could not be listened on, with what to do.
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

/// The same of an errno, or of a negative EAI_ code: a name that is nobody's.
package func bindingWords(result: Int32) -> String {
    result < 0 ? String(cString: gai_strerror(result)) : bindingWords(errno: result)
}
