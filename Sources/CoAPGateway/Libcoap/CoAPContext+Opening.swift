import CCoAPShim
import CLibcoap

extension CoAPContext {
    struct Opened: @unchecked Sendable {
        // Sendable: made under the lock and handed out to the one who will own it.
        let context: OpaquePointer
        let idleContext: OpaquePointer
        let socket: coap_shim_socket_t
        let wake: Int32
        let epoll: Int32
    }

    struct OpenFailed: Error {
        let reason: String
    }

    static func open(_ configuration: CoAPListener.Configuration) -> Result<Opened, OpenFailed> {
        _ = hooksWork
        guard let port = UInt16(exactly: configuration.port) else {
            return .failure(OpenFailed(reason: "no such port"))
        }
        guard let context = coap_new_context(nil), let idleContext = coap_new_context(nil) else {
            return .failure(OpenFailed(reason: "libcoap is out of memory"))
        }
        var socket = coap_shim_socket_t()
        let failed = coap_shim_open(context, configuration.host, port, socketBuffer, &socket)
        guard failed == 0 else {
            coap_free_context(context)
            coap_free_context(idleContext)
            return .failure(OpenFailed(reason: String(cString: coap_shim_error_text(failed))))
        }
        let wake = coap_shim_eventfd()
        let epoll = coap_shim_epoll(socket.descriptor, wake)
        guard wake >= 0, epoll >= 0 else {
            coap_free_context(context)
            coap_free_context(idleContext)
            return .failure(OpenFailed(reason: "too many open files"))
        }
        return .success(
            Opened(context: context, idleContext: idleContext, socket: socket, wake: wake, epoll: epoll)
        )
    }
}

/// An event descriptor any thread may write to; open as long as anybody might.
final class WakeUp: Sendable {
    let descriptor: Int32

    init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { coap_shim_close(descriptor) }

    func callAsFunction() { coap_shim_wake(descriptor) }
}
