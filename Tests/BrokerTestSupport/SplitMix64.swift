/// A seeded generator of random numbers: the same seed gives the same test again (Steele, Lea and Flood, 2014).
package struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    /// Begins the sequence of a seed.
    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// A number of the range.
    package mutating func number<Number: FixedWidthInteger>(_ range: ClosedRange<Number>) -> Number {
        .random(in: range, using: &self)
    }

    /// True once in `times`.
    package mutating func once(in times: Int) -> Bool { number(1...times) == 1 }

    /// One of the elements; the first one's index is 0.
    package mutating func pick<Element>(_ elements: [Element]) -> Element { elements[number(0...(elements.count - 1))] }

    /// A value half of the time, else nil.
    package mutating func maybe<Value>(_ make: (inout SplitMix64) -> Value) -> Value? {
        once(in: 2) ? make(&self) : nil
    }

    /// Any bytes.
    package mutating func bytes(count: Int) -> [UInt8] { (0..<count).map { _ in number(0...255) } }
}
