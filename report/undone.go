package report

// Undone lists the changes of a pass that were not carried out: planned only,
// waiting for approval, kept, refused, failed or skipped. It stops after max;
// more says how many others there are.
func Undone(r Report, max int) (list []DocumentChange, more int) {
	for _, e := range entries(r) {
		switch {
		case e.Status == "done":
		case len(list) < max:
			list = append(list, documentChange(e))
		default:
			more++
		}
	}
	return list, more
}

// Held lists what was not planned and why, with what to do about it. It stops
// after max; more says how many others there are.
func Held(r Report, max int) (list []DocumentHeld, more int) {
	for _, h := range r.Plan.Held {
		if len(list) == max {
			return list, len(r.Plan.Held) - max
		}
		list = append(list, documentHeld(h))
	}
	return list, 0
}
