extension Schedule {
    /// A part of this schedule that fails, too, and no longer does without any one of its steps.
    ///
    /// - Parameter fails: whether a schedule fails; asked a few hundred times.
    func shrunk(_ fails: (Schedule) -> Bool) -> Schedule {
        var best = self
        var size = max(1, best.steps.count / 2)
        while true {
            let before = best.steps.count
            var place = 0
            while place < best.steps.count {
                var candidate = best
                candidate.steps.removeSubrange(place..<min(place + size, candidate.steps.count))
                if fails(candidate) { best = candidate } else { place += size }
            }
            if size == 1, best.steps.count == before { return best }
            size = max(1, size / 2)
        }
    }
}
