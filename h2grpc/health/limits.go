package health

// maxListed is the largest number of services that List answers with, the same
// as grpc-go's: a client that asks for everything must not make the server
// send megabytes.
const maxListed = 100
