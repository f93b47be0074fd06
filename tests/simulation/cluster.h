// The machines and the wires of the simulation: one queue of events in simulated time, nodes that are killed,
// restarted and paused, messages that are lost, doubled, delayed, reordered and cut off by partitions. One
// thread; everything that happens is a function run by Step. Always: a killed node runs nothing of its old
// incarnation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <queue>
#include <set>
#include <utility>
#include <vector>

#include "tests/simulation/random.h"

namespace quire::simulation {

inline constexpr int64_t kMs = 1'000;
inline constexpr int64_t kSecond = 1'000'000;

struct NetworkFaults {
  int64_t lost_percent = 0;
  int64_t doubled_percent = 0;
  int64_t max_delay_us = 2 * kMs;
};

class Cluster {
 public:
  using Event = std::function<void()>;

  explicit Cluster(uint64_t seed) : random(seed) {}

  int AddNode();
  int64_t now_us() const { return now_us_; }
  // A node's own monotonic clock: another start, and a speed of its own (within 200 ppm).
  int64_t ClockOf(int node) const {
    return now_us_ + now_us_ * nodes_[node].drift_ppm / kMillion + nodes_[node].clock_offset_us;
  }
  int64_t ToSimulated(int node, int64_t clock_us) const {
    return ToSimulatedSpan(node, clock_us - nodes_[node].clock_offset_us);
  }
  // Its wall clock, which somebody sets now and then.
  int64_t WallMs(int node) const { return kWallStartMs + (now_us_ + nodes_[node].wall_offset_us) / kMs; }
  void JumpWall(int node, int64_t by_us) { nodes_[node].wall_offset_us += by_us; }

  bool IsUp(int node) const { return nodes_[node].up; }
  bool IsPaused(int node) const { return nodes_[node].paused_until_us > now_us_; }
  uint64_t Incarnation(int node) const { return nodes_[node].incarnation; }
  void Kill(int node) { nodes_[node].up = false; }
  void Start(int node);
  // Only ever longer: what waits was put off to the end that was known.
  void Pause(int node, int64_t for_us) {
    nodes_[node].paused_until_us = std::max(nodes_[node].paused_until_us, now_us_ + for_us);
  }

  // Happens whatever state the nodes are in: the world's own doing.
  void At(int64_t time_us, Event event);
  // A timer of the node's present incarnation, by its own clock.
  void After(int node, int64_t delay_us, Event event);
  // A message: runs at `to` unless it is lost; at most twice.
  void Send(int from, int to, Event event);
  // The same to one incarnation of `to` only: an answer to its call.
  void Answer(int from, int to, uint64_t incarnation, Event event);
  // One message of an ordered connection, `last_us` its state: delivered once and in order, or, when cut,
  // false. Incarnation 0: whichever is up.
  bool SendInOrder(int from, int to, uint64_t incarnation, int64_t& last_us, Event event);

  void Cut(int a, int b) { cuts_.insert(std::minmax(a, b)); }
  void Heal(int a, int b) { cuts_.erase(std::minmax(a, b)); }
  bool IsCut(int a, int b) const { return cuts_.contains(std::minmax(a, b)); }
  void set_network(NetworkFaults faults) { network_ = faults; }

  // Runs the next event. False: none is left.
  bool Step();
  // The wires are whole again.
  void CalmDown();

  Random random;
  uint64_t messages = 0;
  uint64_t messages_lost = 0;

 private:
  static constexpr int64_t kMillion = 1'000'000;
  static constexpr int64_t kWallStartMs = 1'000'000'000'000;
  int64_t ToSimulatedSpan(int node, int64_t own_us) const {
    return own_us - own_us * nodes_[node].drift_ppm / (kMillion + nodes_[node].drift_ppm);
  }

  struct Node {
    bool up = true;
    uint64_t incarnation = 1;
    int64_t paused_until_us = 0;
    int64_t clock_offset_us = 0;
    int64_t wall_offset_us = 0;
    int64_t drift_ppm = 0;
  };
  struct Scheduled {
    int64_t time_us;
    uint64_t order;
    int node;              // -1: the world's own
    uint64_t incarnation;  // 0: any
    Event event;
    bool operator>(const Scheduled& other) const {
      return std::pair(time_us, order) > std::pair(other.time_us, other.order);
    }
  };
  void Push(int64_t time_us, int node, uint64_t incarnation, Event event);
  void Transmit(int from, int to, uint64_t incarnation, Event event);

  int64_t now_us_ = 0;
  uint64_t order_ = 0;
  std::vector<Node> nodes_;
  NetworkFaults network_;
  std::set<std::pair<int, int>> cuts_;
  std::priority_queue<Scheduled, std::vector<Scheduled>, std::greater<>> queue_;
};

}  // namespace quire::simulation
