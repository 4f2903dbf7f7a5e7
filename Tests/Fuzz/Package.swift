// swift-tools-version: 6.3
import PackageDescription

/// libFuzzer harnesses, each a static library with the entry point libFuzzer calls; `make fuzz` links and runs them.
///
/// The sources under test are linked to from here, so that they are compiled with the fuzzer's instrumentation and the
/// harnesses have `package` access to them.
let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("ImmutableWeakCaptures"),
]

let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioConcurrencyHelpers: Target.Dependency = .product(name: "NIOConcurrencyHelpers", package: "swift-nio")

let package = Package(
    name: "fuzz",
    products: [
        .library(name: "FuzzCodec", type: .static, targets: ["FuzzCodec"]),
        .library(name: "FuzzBroker", type: .static, targets: ["FuzzBroker"]),
        .library(name: "FuzzCoAP", type: .static, targets: ["FuzzCoAP"]),
        .library(name: "FuzzStreams", type: .static, targets: ["FuzzStreams"]),
        .library(name: "FuzzDatagrams", type: .static, targets: ["FuzzDatagrams"]),
        .executable(name: "fuzz-seeds", targets: ["FuzzSeeds"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    ],
    targets: [
        .target(name: "MQTTCodec", dependencies: [nioCore], swiftSettings: settings),
        .target(
            name: "BrokerCore",
            dependencies: [
                "MQTTCodec", nioCore,
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "CoreRuntime",
            dependencies: [
                "BrokerCore", nioCore, nioConcurrencyHelpers,
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "MQTTProtocol",
            dependencies: ["MQTTCodec", "BrokerCore", "CoreRuntime", nioCore],
            swiftSettings: settings
        ),
        .target(name: "Storage", dependencies: ["MQTTCodec", "BrokerCore", nioCore], swiftSettings: settings),
        .target(
            name: "BrokerTestSupport",
            dependencies: ["MQTTCodec", "BrokerCore", "MQTTProtocol", "Storage", nioCore, nioConcurrencyHelpers],
            swiftSettings: settings
        ),
        .systemLibrary(name: "CLibcoap", pkgConfig: "libcoap-3-gnutls"),
        .systemLibrary(name: "CGnuTLS", pkgConfig: "gnutls"),
        .target(name: "CSockets", cSettings: [.define("_GNU_SOURCE")]),
        .target(
            name: "CoAPGateway",
            dependencies: [
                "MQTTCodec", "BrokerCore", "CoreRuntime", "CLibcoap", "CGnuTLS", "CSockets", nioCore,
                nioConcurrencyHelpers,
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        .target(name: "FuzzCodec", dependencies: ["MQTTCodec", nioCore], swiftSettings: settings),
        .target(
            name: "FuzzBroker",
            dependencies: ["MQTTCodec", "BrokerCore", "BrokerTestSupport", nioCore],
            swiftSettings: settings
        ),
        .target(
            name: "FuzzCoAP",
            dependencies: ["MQTTCodec", "BrokerCore", "CoAPGateway", "BrokerTestSupport", nioCore],
            swiftSettings: settings
        ),
        .target(name: "FuzzStreams", dependencies: ["CoAPGateway", nioCore], swiftSettings: settings),
        .target(
            name: "FuzzDatagrams",
            dependencies: ["MQTTCodec", "BrokerCore", "CoAPGateway", "CGnuTLS", "BrokerTestSupport", nioCore],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "FuzzSeeds",
            dependencies: ["MQTTCodec", "BrokerTestSupport", nioCore],
            swiftSettings: settings
        ),
    ],
    swiftLanguageModes: [.v6]
)
