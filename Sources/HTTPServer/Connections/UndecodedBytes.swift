import BrokerCore
import CoreRuntime
import NIOCore

/// Stands before the HTTP decoder of a connection and counts what it was given and has not given on: a header that is not
/// whole.
final class UndecodedBytes: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let makeAccount: () -> ConnectionBytes.Account
    private var account: ConnectionBytes.Account?
    private var count = 0
    /// Whether the decoder has given something of the read in hand, and the bytes of bodies in it.
    private var hasDecoded = false
    private var decodedBytes = 0

    init(_ makeAccount: @escaping () -> ConnectionBytes.Account) { self.makeAccount = makeAccount }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data).readableBytes
        hasDecoded = false
        decodedBytes = 0
        context.fireChannelRead(data)
        // What came before is decoded when anything is; of this read, the headers that are count as if they were not.
        count = (hasDecoded ? 0 : count) + bytes - decodedBytes
        guard count > ConnectionBytes.free || account != nil else { return }
        let account = account ?? makeAccount()
        self.account = count > ConnectionBytes.free ? account : nil
        if let refusal = account.hold(count) { context.fireErrorCaught(Refusal.tooManyBytes(refusal)) }
    }

    /// The decoder has given something, with so many bytes of a body.
    func decoded(_ bytes: Int) {
        hasDecoded = true
        decodedBytes += bytes
    }
}
