module github.com/tenonrpc/tenon/plugin/interop

go 1.26.0

require (
	github.com/hashicorp/go-hclog v1.6.3
	github.com/hashicorp/go-plugin v1.4.10
	github.com/hashicorp/yamux v0.0.0-20180604194846-3520598351bb
	github.com/tenonrpc/tenon v0.0.0
	github.com/tenonrpc/tenon/plugin/interop/cases v0.0.0
	google.golang.org/grpc v1.58.3
)

require (
	github.com/fatih/color v1.13.0 // indirect
	github.com/golang/protobuf v1.5.3 // indirect
	github.com/mattn/go-colorable v0.1.12 // indirect
	github.com/mattn/go-isatty v0.0.14 // indirect
	github.com/mitchellh/go-testing-interface v0.0.0-20171004221916-a61a99592b77 // indirect
	github.com/oklog/run v1.0.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20230711160842-782d3b101e98 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace (
	github.com/tenonrpc/tenon => ../..
	github.com/tenonrpc/tenon/plugin/interop/cases => ./cases
)
