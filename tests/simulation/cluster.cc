#include "tests/simulation/cluster.h"

#include <algorithm>

namespace quire::simulation {

int Cluster::AddNode() {
  Node node;
  node.clock_offset_us = random.In(0, 1'000'000) * kSecond;
  node.drift_ppm = random.In(-200, 200);
  nodes_.push_back(node);
  return static_cast<int>(nodes_.size()) - 1;
}

void Cluster::Start(int node) {
  nodes_[node].up = true;
  ++nodes_[node].incarnation;
  nodes_[node].paused_until_us = 0;
}

void Cluster::Push(int64_t time_us, int node, uint64_t incarnation, Event event) {
  queue_.push({time_us, ++order_, node, incarnation, std::move(event)});
}

void Cluster::At(int64_t time_us, Event event) { Push(time_us, -1, 0, std::move(event)); }

void Cluster::After(int node, int64_t delay_us, Event event) {
  // Rounded up: when it rings, the node's clock shows what it was set to.
  const int64_t simulated_us = delay_us > 0 ? ToSimulatedSpan(node, delay_us) + 1 : 0;
  Push(now_us_ + simulated_us, node, nodes_[node].incarnation, std::move(event));
}

void Cluster::Send(int from, int to, Event event) { Transmit(from, to, 0, std::move(event)); }

void Cluster::Answer(int from, int to, uint64_t incarnation, Event event) {
  Transmit(from, to, incarnation, std::move(event));
}

void Cluster::Transmit(int from, int to, uint64_t incarnation, Event event) {
  const int copies = random.Percent(network_.doubled_percent) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    ++messages;
    if (IsCut(from, to) || random.Percent(network_.lost_percent)) {
      ++messages_lost;
      continue;
    }
    // Mostly quick, now and then very late.
    const int64_t delay = random.Percent(3) ? random.In(0, 100 * network_.max_delay_us)
                                            : random.In(100, 100 + network_.max_delay_us);
    Push(now_us_ + delay, to, incarnation, event);
  }
}

bool Cluster::SendInOrder(int from, int to, uint64_t incarnation, int64_t& last_us, Event event) {
  ++messages;
  if (IsCut(from, to)) {
    ++messages_lost;
    return false;
  }
  last_us = std::max(last_us + 1, now_us_ + random.In(100, 100 + network_.max_delay_us));
  Push(last_us, to, incarnation, std::move(event));
  return true;
}

bool Cluster::Step() {
  if (queue_.empty()) return false;
  Scheduled next = std::move(const_cast<Scheduled&>(queue_.top()));
  queue_.pop();
  now_us_ = std::max(now_us_, next.time_us);
  if (next.node >= 0) {
    const Node& node = nodes_[next.node];
    if (!node.up || (next.incarnation != 0 && next.incarnation != node.incarnation)) return true;
    if (node.paused_until_us > now_us_) {
      next.time_us = node.paused_until_us;  // keeps its order among what waits
      queue_.push(std::move(next));
      return true;
    }
  }
  next.event();
  return true;
}

void Cluster::CalmDown() {
  network_ = {};
  cuts_.clear();
}

}  // namespace quire::simulation
