package fleet

// minStarts is how many plugins a Group starts at once at least. More than
// there are processors only take the processors from each other.
const minStarts = 4
