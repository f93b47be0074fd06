#include "gateway/api/request_lines.h"

#include "base/core/log.h"

namespace quire::gateway {

void RequestLines::Write(const http::RequestRecord& record) {
  if (record.completion_tokens == 0) {
    const auto left_out = fruitless_.Take(record.key_id, clock_.NowUs());
    if (!left_out) return;
    if (*left_out > 0) {
      Log(LogLevel::kWarn, "request_lines_left_out", "key_id", record.key_id, "lines", *left_out);
    }
  }
  write_(record);
}

}  // namespace quire::gateway
