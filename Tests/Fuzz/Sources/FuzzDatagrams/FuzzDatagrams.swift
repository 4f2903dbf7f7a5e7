import BrokerCore
import CoAPGateway
import NIOCore

/// Reads arbitrary bytes as datagrams, in the clear or of DTLS, that come to a listener one after the other.
///
/// Whatever they are, nothing crashes, nothing is left behind, and nobody gets in or is kept out by them; see `ClearScript`,
/// `FragmentScript` and `RecordScript` for what must be.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var input = Input(bytes: Array(UnsafeBufferPointer(start: start, count: count))[...])
    switch input.byte() & 3 {
    case 0: ClearScript(input).run()
    case 1: FragmentScript(input).run()
    case 2: RecordScript.begin(input)
    default: RecordScript.go(on: input)
    }
    return 0
}

/// What is left of the fuzzer's bytes.
struct Input {
    var bytes: ArraySlice<UInt8>

    var isEmpty: Bool { bytes.isEmpty }

    mutating func byte() -> UInt8 { bytes.popFirst() ?? 0 }

    /// As many bytes as the next two say.
    mutating func chunk() -> [UInt8] {
        let count = Int(byte()) << 8 | Int(byte())
        defer { bytes = bytes.dropFirst(count) }
        return Array(bytes.prefix(count))
    }
}

/// Handshake messages in fragments: what comes out is whole, and no longer than it may be.
struct FragmentScript {
    private static let most = 512

    private var input: Input
    private var messages = HandshakeMessages(most: most)

    init(_ input: Input) { self.input = input }

    consuming func run() {
        while !input.isEmpty {
            let content = input.chunk()
            var ready = content.withUnsafeBytes { messages.take($0) }[...]
            while !ready.isEmpty {
                precondition(ready.count >= 12, "a header that is cut")
                let header = Array(ready.prefix(12))
                let length = Int(header[1]) << 16 | Int(header[2]) << 8 | Int(header[3])
                precondition(length <= Self.most && ready.count >= 12 + length, "a message that is not whole")
                precondition(header[6..<9].allSatisfy { $0 == 0 } && header[1..<4] == header[9..<12], "a fragment")
                ready = ready.dropFirst(12 + length)
            }
        }
    }
}
