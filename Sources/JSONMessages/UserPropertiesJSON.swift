import MQTTCodec
import NIOCore

extension ByteBuffer {
    /// `user_properties`: an object; names in the order in which they first came, and an array of values for a name that came
    /// more than once.
    ///
    /// A packet may carry a hundred thousand, so it works on their encoded bytes, without a String for each.
    mutating func writeUserProperties(_ properties: UserProperties) {
        writeStaticString(",\"user_properties\":{")
        properties.withPlaces { bytes, places in
            let repeated = RepeatedNames(places, bytes)
            for (index, place) in places.enumerated() where !repeated.isRepetition[index] {
                if index > 0 { writeInteger(UInt8(ascii: ",")) }
                writeJSON(UnsafeRawBufferPointer(rebasing: bytes[place.name]))
                writeInteger(UInt8(ascii: ":"))
                guard repeated.next[index] > 0 else {
                    writeJSON(UnsafeRawBufferPointer(rebasing: bytes[place.value]))
                    continue
                }
                var opening = UInt8(ascii: "[")
                var same = index
                repeat {
                    writeInteger(opening)
                    writeJSON(UnsafeRawBufferPointer(rebasing: bytes[places[same].value]))
                    opening = UInt8(ascii: ",")
                    same = repeated.next[same]
                } while same > 0
                writeInteger(UInt8(ascii: "]"))
            }
        }
        writeStaticString("}")
    }
}

/// Which properties have the name of one before them.
private struct RepeatedNames {
    /// By index: whether there is one of the same name before it.
    private(set) var isRepetition: [Bool]
    /// By index: the next one of the same name; 0 when there is none.
    private(set) var next: [Int]

    init(_ places: [UserProperties.Place], _ bytes: UnsafeRawBufferPointer) {
        isRepetition = Array(repeating: false, count: places.count)
        next = Array(repeating: 0, count: places.count)
        var latest = [Name: Int](minimumCapacity: places.count)
        for (index, place) in places.enumerated() {
            let name = Name(bytes: UnsafeRawBufferPointer(rebasing: bytes[place.name]))
            guard let former = latest.updateValue(index, forKey: name) else { continue }
            isRepetition[index] = true
            next[former] = index
        }
    }

    /// Equal byte for byte; its hash is seeded, so that nobody can choose names that collide.
    private struct Name: Hashable {
        let bytes: UnsafeRawBufferPointer

        static func == (left: Name, right: Name) -> Bool { left.bytes.elementsEqual(right.bytes) }

        func hash(into hasher: inout Hasher) { hasher.combine(bytes: bytes) }
    }
}
