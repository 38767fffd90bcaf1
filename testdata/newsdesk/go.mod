module example.com/newsdesk

go 1.26.0

require (
	github.com/tenonrpc/tenon v0.0.0
	google.golang.org/protobuf v1.36.12
)

require golang.org/x/net v0.62.0 // indirect

replace github.com/tenonrpc/tenon => ../..
