// swift-tools-version: 6.3
import PackageDescription

/// Every upcoming feature of the language that the toolchain still has switched off, and no warnings.
let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),  // SE-0335
    .enableUpcomingFeature("InternalImportsByDefault"),  // SE-0409
    .enableUpcomingFeature("MemberImportVisibility"),  // SE-0444
    .enableUpcomingFeature("InferIsolatedConformances"),  // SE-0470
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),  // SE-0461
    .enableUpcomingFeature("ImmutableWeakCaptures"),  // SE-0481
    .treatAllWarnings(as: .error),  // SE-0480
]

let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioConcurrencyHelpers: Target.Dependency = .product(name: "NIOConcurrencyHelpers", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioWebSocket: Target.Dependency = .product(name: "NIOWebSocket", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")

let package = Package(
    name: "sluice",
    products: [
        .executable(name: "sluice", targets: ["Sluice"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
        .package(url: "https://github.com/vapor/jwt-kit.git", from: "5.7.1"),
        .package(url: "https://github.com/swift-server/async-http-client.git", from: "1.37.0"),
    ],
    targets: [
        .target(name: "MQTTCodec", dependencies: [nioCore], swiftSettings: settings),
        .target(
            name: "BrokerCore",
            dependencies: [
                "MQTTCodec",
                nioCore,
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
            ],
            swiftSettings: settings
        ),
        // The core's event loop, and what several threads share: limits of connections, the log of events.
        .target(
            name: "CoreRuntime",
            dependencies: [
                "BrokerCore", nioCore, nioConcurrencyHelpers,
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: settings
        ),
        // What listeners over TCP share: accepting and stopping, the PROXY protocol, TLS and the names in certificates.
        // Its name is not Network: other packages ask `canImport(Network)` to find out whether Apple's is there.
        .target(
            name: "NetworkListeners",
            dependencies: [
                "BrokerCore", "CoreRuntime", nioCore, nioConcurrencyHelpers, nioPosix, nioSSL,
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
            ],
            swiftSettings: settings
        ),
        // The dialogue of one MQTT connection, without I/O.
        .target(
            name: "MQTTProtocol",
            dependencies: ["MQTTCodec", "BrokerCore", "CoreRuntime", nioCore],
            swiftSettings: settings
        ),
        .target(
            name: "MQTTTransport",
            dependencies: ["BrokerCore", "CoreRuntime", "MQTTProtocol", "NetworkListeners", nioCore, nioPosix],
            swiftSettings: settings
        ),
        // Messages as JSON, for adapters that speak it.
        .target(name: "JSONMessages", dependencies: ["MQTTCodec", "BrokerCore", nioCore], swiftSettings: settings),
        // HTTP/1.1 and WebSocket for any application: it knows no routes, topics or sessions.
        .target(
            name: "HTTPServer",
            dependencies: [
                "BrokerCore", "CoreRuntime", "NetworkListeners", nioCore, nioConcurrencyHelpers, nioPosix, nioHTTP1,
                nioWebSocket,
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "HTTPGateway",
            dependencies: [
                "MQTTCodec",
                "BrokerCore",
                "CoreRuntime",
                "JSONMessages",
                "NetworkListeners",
                "HTTPServer",
                nioCore, nioConcurrencyHelpers,
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
            ],
            // The live page and the OpenAPI document: part of the executable, so that it is one file.
            resources: [
                .embedInCode("Resources/page.html"), .embedInCode("Resources/style.css"),
                .embedInCode("Resources/script.js"), .embedInCode("Resources/socket.js"),
                .embedInCode("Resources/favicon.svg"), .embedInCode("Resources/openapi.yaml"),
            ],
            swiftSettings: settings
        ),
        // Messages are read and written by libcoap's public functions. Debian's libcoap3-dev has one library for each TLS
        // implementation: of them the one that brings in what is used anyway.
        .systemLibrary(name: "CLibcoap", pkgConfig: "libcoap-3-gnutls", providers: [.apt(["libcoap3-dev"])]),
        // DTLS and TLS for devices: pre-shared keys, and CCM_8 (RFC 7925). An idle DTLS session has 12 kB, with OpenSSL 47.
        .systemLibrary(name: "CGnuTLS", pkgConfig: "gnutls", providers: [.apt(["libgnutls28-dev"])]),
        .target(name: "CSockets", cSettings: [.define("_GNU_SOURCE")]),
        .target(
            name: "CoAPGateway",
            dependencies: [
                "MQTTCodec", "BrokerCore", "CoreRuntime", "CLibcoap", "CGnuTLS", "CSockets", nioCore,
                nioConcurrencyHelpers,
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: settings
        ),
        // Who may connect and what they may do: password files, access control files, SCRAM.
        .target(
            name: "Auth",
            dependencies: [
                "MQTTCodec",
                "BrokerCore",
                "CoreRuntime",
                nioCore, nioConcurrencyHelpers,
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "JWTKit", package: "jwt-kit"),
            ],
            swiftSettings: settings
        ),
        // Sessions, their messages and retained messages as records of a key-value store.
        .target(name: "Storage", dependencies: ["MQTTCodec", "BrokerCore", nioCore], swiftSettings: settings),
        .systemLibrary(name: "CRocksDB", pkgConfig: "rocksdb", providers: [.apt(["librocksdb-dev"])]),
        // The key-value store on disk.
        .target(name: "RocksDBStorage", dependencies: ["BrokerCore", "Storage", "CRocksDB"], swiftSettings: settings),
        // What a persistent session gets, posted to a URL.
        .target(
            name: "Webhooks",
            dependencies: [
                "MQTTCodec", "BrokerCore", "CoreRuntime", "JSONMessages", nioCore, nioConcurrencyHelpers, nioHTTP1,
                nioPosix,
                lifecycle,
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "Sluice",
            dependencies: [
                "MQTTCodec",
                "BrokerCore",
                "CoreRuntime",
                "Auth",
                "Storage",
                "RocksDBStorage",
                "NetworkListeners",
                "MQTTTransport",
                "HTTPServer",
                "HTTPGateway",
                "CoAPGateway",
                "Webhooks",
                nioCore,
                nioPosix,
                logging,
                lifecycle,
                unixSignals,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: settings
        ),
        // What the tests of several targets need, without sockets and RocksDB: a broker that is called, clients and a store
        // in memory, a seeded generator.
        .target(
            name: "BrokerTestSupport",
            dependencies: [
                "MQTTCodec", "BrokerCore", "MQTTProtocol", "Storage", nioCore, nioConcurrencyHelpers,
            ],
            path: "Tests/BrokerTestSupport",
            swiftSettings: settings
        ),
        .testTarget(
            name: "MQTTCodecTests",
            dependencies: ["MQTTCodec", "BrokerTestSupport", nioCore],
            swiftSettings: settings
        ),
        .testTarget(
            name: "BrokerCoreTests",
            dependencies: [
                "MQTTCodec", "BrokerCore", "CoreRuntime", "BrokerTestSupport", nioCore, nioConcurrencyHelpers,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "CoreRuntimeTests",
            dependencies: ["MQTTCodec", "BrokerCore", "CoreRuntime", nioCore, nioConcurrencyHelpers, nioEmbedded],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MQTTTransportTests",
            dependencies: [
                "MQTTCodec", "BrokerCore", "CoreRuntime", "MQTTTransport", "NetworkListeners", "BrokerTestSupport",
                nioCore,
                nioConcurrencyHelpers, nioEmbedded,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "NetworkListenersTests",
            dependencies: [
                "BrokerCore", "CoreRuntime", "NetworkListeners", nioCore, nioConcurrencyHelpers, nioEmbedded, nioSSL,
                .product(name: "NIOTLS", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        // What tests of HTTP need: a connection by hand, an answer taken apart, a client's end of a WebSocket.
        .target(
            name: "HTTPTestSupport",
            dependencies: [nioCore, nioConcurrencyHelpers, nioPosix],
            path: "Tests/HTTPTestSupport",
            swiftSettings: settings
        ),
        .testTarget(
            name: "HTTPServerTests",
            dependencies: [
                "BrokerCore", "CoreRuntime", "NetworkListeners", "HTTPServer", "HTTPTestSupport",
                nioCore, nioConcurrencyHelpers, nioPosix, nioEmbedded,
                .product(name: "HTTPTypes", package: "swift-http-types"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "HTTPGatewayTests",
            dependencies: [
                "MQTTCodec", "BrokerCore", "CoreRuntime", "MQTTTransport", "JSONMessages", "HTTPServer", "HTTPGateway",
                "NetworkListeners", "BrokerTestSupport", "HTTPTestSupport",
                nioCore, nioConcurrencyHelpers, nioPosix, nioEmbedded,
                .product(name: "HTTPTypes", package: "swift-http-types"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "WebhooksTests",
            dependencies: [
                "MQTTCodec", "BrokerCore", "CoreRuntime", "Webhooks", "BrokerTestSupport",
                nioCore, nioPosix, nioEmbedded, nioHTTP1, nioConcurrencyHelpers, lifecycle,
                .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "CoAPGatewayTests",
            dependencies: [
                "MQTTCodec", "BrokerCore", "CoreRuntime", "CoAPGateway", "CGnuTLS", "CSockets", "BrokerTestSupport",
                nioCore, nioConcurrencyHelpers, nioPosix,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "AuthTests",
            dependencies: [
                "MQTTCodec", "BrokerCore", "Auth", "BrokerTestSupport", nioCore, nioConcurrencyHelpers,
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "JWTKit", package: "jwt-kit"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "StorageTests",
            dependencies: [
                "MQTTCodec", "BrokerCore", "Storage", "RocksDBStorage", "BrokerTestSupport", nioCore,
                nioConcurrencyHelpers,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "SluiceTests",
            dependencies: [
                "Sluice", "Auth", "BrokerCore", "Storage", "HTTPGateway", "NetworkListeners", "Webhooks", nioCore,
                logging,
            ],
            swiftSettings: settings
        ),
        // They start the built executable and use the clients that people use.
        .testTarget(
            name: "IntegrationTests",
            dependencies: ["Sluice", "Storage", "RocksDBStorage", nioConcurrencyHelpers],
            exclude: ["Clients", "requirements.txt"],
            swiftSettings: settings
        ),
    ],
    swiftLanguageModes: [.v6]
)
