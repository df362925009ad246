// Package native is what a careful engineer would write by hand instead of
// millrace, for four jobs and one shape of payload. Its speed is the measure
// that millrace's is divided by, so it has no part that its job can do without.
//
//	payload ──Scan──▶ Reading ─▶ condition ─▶ windows of its device ─▶ score ─▶ Result
package native
