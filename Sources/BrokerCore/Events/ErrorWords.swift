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
        let advice =
            switch error.errnoCode {
            case EADDRINUSE: ": another program has it, perhaps another Sluice; ss -lntp shows which"
            case EACCES: ": ports below 1024 need the capability CAP_NET_BIND_SERVICE"
            case EADDRNOTAVAIL: ": this machine has no such address; ip address shows those it has"
            default: ""
            }
        return words + advice
    }
}
