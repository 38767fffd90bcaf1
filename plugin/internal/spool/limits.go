package spool

// Overhead is what a piece costs in memory besides its bytes, so that single bytes,
// printed to two streams in turn, are bounded too.
const Overhead = 64
