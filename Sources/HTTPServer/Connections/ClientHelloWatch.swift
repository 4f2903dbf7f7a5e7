import NIOCore

/// Looks at what a connection in the clear begins with, tells if that is a TLS handshake, and leaves.
///
/// What becomes of the connection the decoder above decides, as of any other that is no HTTP.
final class ClientHelloWatch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    /// A handshake record of TLS 1.0 or newer (RFC 8446 §5.1).
    private static let clientHello: [UInt8] = [0x16, 0x03]

    private let onClientHello: () -> Void

    init(onClientHello: @escaping () -> Void) { self.onClientHello = onClientHello }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if unwrapInboundIn(data).readableBytesView.starts(with: Self.clientHello) { onClientHello() }
        context.fireChannelRead(data)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
}
