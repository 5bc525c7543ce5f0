package plan

// Approved is a plan that has been checked against limits or confirmed by a
// person. apply.Run takes nothing else, so a plan that nobody checked does
// not compile.
type Approved struct{ plan Plan }

// Changes lists what may be carried out, in the order of the plan.
func (a Approved) Changes() []Change { return a.plan.Changes }
