#include "tests/simulation/processes.h"
#include "tests/simulation/world.h"

namespace quire::simulation {

void SimWorker::Generate(GenerateCall call, int gateway, uint64_t gateway_incarnation) {
  if (call.epoch != world_->cluster.Incarnation(node_)) return;  // the gateway will miss it
  const RequestId id = call.id;
  const uint32_t attempt = call.attempt;
  streams_[{id, attempt}] = {std::move(call), gateway, gateway_incarnation, 0};
  world_->cluster.After(node_, world_->cluster.random.In(1 * kMs, 60 * kMs),
                        [=, this] { Tick(id, attempt); });
}

// One step: a token for each choice that has not ended.
void SimWorker::Tick(const RequestId& id, uint32_t attempt) {
  const auto found = streams_.find({id, attempt});
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  bool more = false;
  for (uint32_t choice = 0; choice < stream.call.next.size(); ++choice) {
    uint64_t& next = stream.call.next[choice];
    if (next >= stream.call.length[choice]) continue;
    const Token token{id, attempt, choice, next++, stream.call.cached_tokens};
    world_->checker.Made(id, {node_, stream.call.epoch});
    World* const world = world_;
    const int gateway = stream.gateway;
    const bool sent = world_->cluster.SendInOrder(
        node_, world_->gateway_node(gateway), stream.gateway_incarnation, stream.connection_us,
        [world, gateway, token] { world->gateway(gateway)->OnToken(token); });
    if (!sent) {  // the connection is gone, and the gateway will miss it
      streams_.erase(found);
      return;
    }
    more = more || next < stream.call.length[choice];
  }
  if (!more) {
    streams_.erase(found);
    return;
  }
  world_->cluster.After(node_, world_->cluster.random.In(10 * kMs, 50 * kMs),
                        [=, this] { Tick(id, attempt); });
}

}  // namespace quire::simulation
