import Auth
import Foundation
import Testing

@Suite struct PasswordFileTests {
    /// Written by mosquitto_passwd 2.0.11.
    private static let mosquitto = """
        alice:$7$101$wWlJ9spCeEFar38P$nkAqyPNNeZvpTdcYFwLrh0LEH7gESbIXrCa04QabeOAyROVt4p5Ef+2J65+Ru9VYu+8G7GCKTl0QtMzOMuqnUQ==
        bob:$7$101$5YmFilmYJAAjYwz+$gTBcaWGYUpVVIIkZzH0cpsIR7vsIO6LmOM2XmZDH9IeZRVXgViJAa17vpPVDh408gILdJvks20NlRjLNQZyAhw==
        empty:$7$101$dbaD8BlRymrjCkco$hZ2etGefqxODytqGTjqwvAeeE6Vnbi25p4mJ8v+FCX657PIzIIFCota1GxCb3yFV95HOr1QzYQZktO/uhWmFig==

        # and with -H sha512
        old:$6$bISvLTQixI9zceGN$3AVdKisGEttXQ0iS8UBqCs6eoz2rpkBHzI06UJJWReASLFEcGWMq7A51zGm/JiyvfGiL99qsq9yQWAsdS+UKrQ==
        """

    private func matches(_ hash: PasswordHash?, _ password: String) -> Bool {
        hash?.matches(Array(password.utf8)) ?? false
    }

    @Test(
        "passwords that mosquitto_passwd has hashed are known again",
        arguments: [("alice", "rabbit"), ("bob", "größe €"), ("empty", ""), ("old", "hatter")]
    )
    func mosquitto(_ user: String, _ password: String) throws {
        let file = try PasswordFile(Self.mosquitto)
        #expect(file.count == 4)
        #expect(matches(file[user], password))
        for wrong in ["Rabbit", "rabbit ", "x"] { #expect(!matches(file[user], wrong)) }
        #expect(file[user.uppercased()] == nil)
    }

    @Test("what is hashed here is known again, also after it was written and read")
    func ownHashes() throws {
        let scram = PasswordHash.scram(try ScramKeys(password: "größe €", iterations: 4_096))
        for hash in [try PasswordHash.pbkdf2("größe €", iterations: 10), scram] {
            #expect(PasswordHash("\(hash)") == hash)
            #expect(matches(PasswordHash("\(hash)"), "größe €"))
            #expect(!matches(hash, "grosse €"))
        }
        #expect(try PasswordHash.pbkdf2("a", iterations: 1) != PasswordHash.pbkdf2("a", iterations: 1))
    }

    @Test("new hashes are as slow as today's guessers ask for; old ones go on being good")
    func strength() throws {
        #expect(PasswordHash.usualIterations >= 210_000)
        #expect(ScramKeys.usualIterations >= 100_000)
        let file = try PasswordFile("old:\(try PasswordHash.pbkdf2("a", iterations: 101))\n")
        #expect(matches(file["old"], "a"))
        let hash = try PasswordHash.pbkdf2("a", iterations: PasswordHash.usualIterations)
        #expect("\(hash)".hasPrefix("$7$210000$"))
        #expect(matches(PasswordHash("\(hash)"), "a"))
    }

    @Test("a hash of mosquitto_passwd 2.1 that is not read is told what to do")
    func argon2() {
        let refused = #expect(throws: AccessFileRefused.self) {
            try PasswordFile("a:$argon2id$v=19$m=47104,t=1,p=1$c2FsdHNhbHQ$aGFzaA\n")
        }
        #expect(refused?.problems.first?.words.contains("-H sha512-pbkdf2") == true)
    }

    @Test("mosquitto_passwd can change a file written here, and what it writes is known")
    func mosquittoTool() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "passwd-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        let hash = try PasswordHash.pbkdf2("first", iterations: 101)
        let text = PasswordFile.text("", setting: "carol", to: hash)
        try text.write(to: file, atomically: true, encoding: .utf8)
        let tool = Process()
        tool.executableURL = URL(fileURLWithPath: "/usr/bin/mosquitto_passwd")
        tool.arguments = ["-b", file.path(), "dave", "second"]
        try tool.run()
        tool.waitUntilExit()
        let read = try PasswordFile(String(contentsOf: file, encoding: .utf8))
        #expect(read.count == 2)
        #expect(matches(read["carol"], "first"))
        #expect(matches(read["dave"], "second"))
    }

    @Test("a file says all that is wrong with it, by line")
    func problems() {
        let text = """
            # a comment, an empty line, a line with a carriage return

            good:$7$1$AAAA$\(String(repeating: "A", count: 86))==\r
            plain:password
            no colon
            :$7$1$AAAA$\(String(repeating: "A", count: 86))==
            good:$7$1$AAAA$\(String(repeating: "A", count: 86))==
            short:$7$1$AAAA$AAAA
            many:$7$10000001$AAAA$\(String(repeating: "A", count: 86))==
            none:$7$0$AAAA$\(String(repeating: "A", count: 86))==
            five:$5$AAAA$\(String(repeating: "A", count: 86))==
            scram:SCRAM-SHA-256$4096:AAAA$AAAA:AAAA
            """
        let refused = #expect(throws: AccessFileRefused.self) { try PasswordFile(text) }
        #expect(refused?.problems.map(\.line) == [4, 5, 6, 7, 8, 9, 10, 11, 12])
        #expect(refused?.problems.first?.words.contains("mosquitto_passwd -U") == true)
        #expect(refused?.problems[3].words == "the user stands in a line above, too")
    }

    @Test("setting a user replaces its line and leaves the others as they are")
    func setting() throws {
        let hash = try PasswordHash.pbkdf2("x", iterations: 1)
        let text = "# first\na:1\nab:2\n\nb:3"
        #expect(PasswordFile.text(text, setting: "a", to: hash) == "# first\na:\(hash)\nab:2\n\nb:3\n")
        #expect(PasswordFile.text(text, setting: "c", to: hash) == "# first\na:1\nab:2\n\nb:3\nc:\(hash)\n")
        #expect(PasswordFile.text("", setting: "c", to: hash) == "c:\(hash)\n")
        for name in ["", "a:b", "a\nb", "#a", "a\u{0}"] { #expect(!PasswordFile.canName(name)) }
        for name in ["a b", "é", "a#b"] { #expect(PasswordFile.canName(name)) }
    }
}
