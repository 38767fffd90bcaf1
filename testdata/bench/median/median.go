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
