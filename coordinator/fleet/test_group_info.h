// What a group says of itself, for the coordinator's unit tests: right in every field, of the size that a
// test asks for. Tests only.
#pragma once

#include <cstdint>
#include <string>

#include "proto/coordinator.pb.h"

namespace quire::coordinator {

inline v1::GroupInfo TestGroupInfo(const std::string& id, uint64_t epoch, uint64_t kv_blocks,
                                   uint64_t context = 1024) {
  v1::GroupInfo info;
  info.set_group_id(id);
  info.set_epoch(epoch);
  info.set_address("127.0.0.1:1");
  info.set_model("tiny");
  info.set_ranks(1);
  info.set_kv_blocks(kv_blocks);
  info.set_block_tokens(16);
  info.set_max_context(context);
  info.set_plain_context(context);
  info.set_bundle_digest(std::string(32, 'd'));
  return info;
}

}  // namespace quire::coordinator
