package fleet

// minStarts is how many plugins Group.StartAll starts at once; it starts more if there
// are more processors. Beyond their number, plugins would only compete for them.
const minStarts = 4
