import BrokerCore
import NIOCore

/// Stands before the HTTP decoder of a connection and counts what it was given since it last gave something: a header that
/// is not whole.
final class UndecodedBytes: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let makeAccount: () -> ConnectionBytes.Account
    private var account: ConnectionBytes.Account?
    private var count = 0

    init(_ makeAccount: @escaping () -> ConnectionBytes.Account) { self.makeAccount = makeAccount }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        count += unwrapInboundIn(data).readableBytes
        context.fireChannelRead(data)
        guard count > ConnectionBytes.free else { return }
        let account = account ?? makeAccount()
        self.account = account
        if let refusal = account.hold(count) { context.fireErrorCaught(Problem.tooManyBytes(refusal)) }
    }

    /// The decoder has given something.
    func decoded() {
        count = 0
        account = nil
    }
}
