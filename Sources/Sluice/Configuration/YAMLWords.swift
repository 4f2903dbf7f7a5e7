import Yams

extension ConfigurationRefused {
    /// What is wrong with text that is no YAML, in words and with the line to look at.
    init(_ error: any Error, yaml: String, file: String) {
        let lines = yaml.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        var line: Int?
        var words = "\(error)"
        switch error as? YamlError {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            line = mark.line
            let isTab = lines.indices.contains(mark.line - 1) && lines[mark.line - 1].hasTabInIndentation
            words = isTab ? "has a tab before its first word: YAML is indented with spaces" : problem
        case .duplicatedKeysInMapping(let keys, let context):
            let name = keys.first ?? ""
            let second = lines.indices.dropFirst(context.mark.line).first {
                lines[$0].isKey(name, inColumn: context.mark.column)
            }
            line = second.map { $0 + 1 } ?? context.mark.line
            words = "the key \(name) is there twice: first in line \(context.mark.line)"
        default: break
        }
        self.init(problems: [ConfigurationProblem(source: file, line: line, key: "", words: words)])
    }
}

extension Substring {
    fileprivate var hasTabInIndentation: Bool { prefix { $0 == " " || $0 == "\t" }.contains("\t") }

    /// Whether a mapping's key begins there; columns count from 1.
    fileprivate func isKey(_ name: String, inColumn column: Int) -> Bool {
        let start = prefix { $0 == " " || $0 == "-" }
        let rest = self[start.endIndex...]
        return start.count == column - 1 && rest.hasPrefix(name) && rest.dropFirst(name.count).first == ":"
    }
}
