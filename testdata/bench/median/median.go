// Package median is how rounds become one figure.
package median

import "slices"

// Of returns the median of values; ok is false if there are none.
func Of(values []float64) (median float64, ok bool) {
	if len(values) == 0 {
		return 0, false
	}
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2, true
}

// Outside returns how many of n sorted values lie outside of the interval, at
// either end, that has the median they were drawn around in it in 95 of 100 cases.
func Outside(n int) int {
	// Each value is as likely above that median as below: a coin.
	chance, sum := 1.0, 0.0
	for range n {
		chance /= 2
	}
	for k := 0; k < n/2; k++ {
		if sum += chance; sum > 0.025 {
			return max(0, k-1) // for k values or fewer on one side, the (k+1)th is the end
		}
		chance = chance * float64(n-k) / float64(k+1)
	}
	return 0
}
