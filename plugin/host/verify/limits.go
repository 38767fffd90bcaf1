package verify

// maxSumsFile bounds a list of sums, and a signature, in bytes: ten thousand entries
// fit.
const maxSumsFile = 1 << 20
