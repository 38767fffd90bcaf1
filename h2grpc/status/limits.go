package status

// maxErrorText bounds the message in an error's text, in bytes: more than a
// screen. The status has all of it.
const maxErrorText = 4 << 10
