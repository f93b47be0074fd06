// SIGTERM and SIGINT as a plain wait. Main calls BlockShutdownSignals before it starts a thread (so that
// every thread inherits the mask) and WaitForShutdownSignal once everything runs; what to drain afterwards is
// main's own story.
#pragma once

namespace quire {

void BlockShutdownSignals();
// Returns the signal's number. SIGTERM and SIGINT only.
int WaitForShutdownSignal();
// Makes WaitForShutdownSignal return, from any thread (used by a component that can't go on).
void RequestShutdown();

}  // namespace quire
