package host_test

// hostiles are plugins and other programs that mean harm, and their victims.
var hostiles = map[string]func(){
	"attacker": playAttacker,
	"lender":   playLender,
}
