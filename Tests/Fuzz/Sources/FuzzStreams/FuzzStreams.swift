/// Reads arbitrary bytes as a schedule of what happens to a CoAP connection, and as what its peer sends; see
/// `ConnectionScript` for what must be.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var script = ConnectionScript(UnsafeBufferPointer(start: start, count: count))
    script.run()
    return 0
}
