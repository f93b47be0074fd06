#include "gateway/api/chat_frames.h"

#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/absl_text.h"
#include "base/core/json_text.h"
#include "base/http/error_body.h"

namespace quire::gateway {
namespace {

std::string Head(const RequestId& id, std::string_view object, std::string_view model,
                 int64_t created_unix_s) {
  return absl::StrCat("{\"id\":\"chatcmpl-", id.ToHex(), "\",\"object\":\"", Absl(object),
                      "\",\"created\":", created_unix_s, ",\"model\":", JsonQuoted(model), ",");
}

std::string UsageJson(const Usage& usage) {
  const TokenCounts& counts = usage.counts;
  return absl::StrCat("{\"prompt_tokens\":", counts.prompt, ",\"completion_tokens\":", counts.completion,
                      ",\"total_tokens\":", counts.prompt + counts.completion,
                      ",\"estimated_cost\":", CostUsd(usage.cost_nano_usd),
                      ",\"prompt_tokens_details\":{\"cached_tokens\":", counts.cached,
                      "},\"completion_tokens_details\":{\"reasoning_tokens\":0}}");
}

}  // namespace

std::string CostUsd(int64_t nano_usd) {
  char digits[32];
  auto [end, error] = std::to_chars(digits, digits + sizeof digits, static_cast<double>(nano_usd) / 1e9);
  return {digits, end};
}

ChatFrames::ChatFrames(const RequestId& id, std::string_view model, int64_t created_unix_s,
                       UsageFrames usage_frames)
    : id_(id),
      model_(model),
      created_unix_s_(created_unix_s),
      usage_frames_(usage_frames),
      chunk_start_("data: " + Head(id, "chat.completion.chunk", model, created_unix_s)),
      chunk_end_(usage_frames == UsageFrames::kLastChunk ? ",\"usage\":null}\n\n" : "}\n\n"),
      text_start_(chunk_start_ + "\"choices\":[{\"index\":0,\"delta\":{\"content\":\""),
      text_end_("\"},\"finish_reason\":null}]" + chunk_end_) {}

std::string ChatFrames::Role() const {
  return absl::StrCat(chunk_start_,
                      "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                      "\"finish_reason\":null}]",
                      chunk_end_);
}

std::string_view ChatFrames::Text(std::string_view text) {
  frame_.assign(text_start_);
  AppendJsonEscaped(text, frame_);
  frame_ += text_end_;
  return frame_;
}

std::string ChatFrames::End(std::string_view finish_reason, const Usage& usage) const {
  std::string frames =
      absl::StrCat(chunk_start_, "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"",
                   Absl(finish_reason), "\"}]");
  if (usage_frames_ == UsageFrames::kOnFinish) {
    absl::StrAppend(&frames, ",\"usage\":", UsageJson(usage), "}\n\n");
  } else {
    frames += chunk_end_;
  }
  if (usage_frames_ == UsageFrames::kLastChunk) {
    absl::StrAppend(&frames, chunk_start_, "\"choices\":[],\"usage\":", UsageJson(usage), "}\n\n");
  }
  return frames;
}

std::string ChatFrames::Error(const http::ApiError& error) {
  return absl::StrCat("data: ", http::ErrorBody(error), "\n\n");
}

ChatFrames::Close ChatFrames::CloseStream(std::string end, uint32_t positions) {
  return {{{std::move(end), positions}, {std::string(kDone), 0}}};
}

ChatFrames::Close ChatFrames::CloseWhole(std::string_view finish_reason, const Usage& usage,
                                         uint32_t positions) const {
  return {{{WholeEnd(finish_reason, usage), positions}, {std::string(kWholeClose), 0}}};
}

std::string ChatFrames::WholeStart() const {
  return Head(id_, "chat.completion", model_, created_unix_s_) +
         R"("choices":[{"index":0,"message":{"role":"assistant","content":")";
}

std::string ChatFrames::WholeEnd(std::string_view finish_reason, const Usage& usage) const {
  return absl::StrCat("\"},\"finish_reason\":\"", Absl(finish_reason), "\"}],\"usage\":", UsageJson(usage));
}

}  // namespace quire::gateway
