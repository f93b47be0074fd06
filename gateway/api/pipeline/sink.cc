#include "gateway/api/pipeline/sink.h"

namespace quire::gateway {

std::vector<Positions> Sink::TakeDelivered() {
  std::vector<Positions> result;
  const uint64_t total = delivered();
  while (!order_.empty() && taken_ + order_.front().count <= total) {
    taken_ += order_.front().count;
    result.push_back(order_.front());
    order_.pop_front();
  }
  return result;
}

}  // namespace quire::gateway
