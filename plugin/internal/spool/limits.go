package spool

// Overhead is the memory cost of a piece in bytes, besides its data, so that single bytes
// printed to two streams alternately are bounded, too.
const Overhead = 64
