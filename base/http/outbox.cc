#include "base/http/outbox.h"

#include <cstdio>
#include <utility>

namespace quire::http {
namespace {

// Room for a chunk's size line: eight hex digits, CR, LF.
constexpr size_t kChunkLineBytes = 10;
// Beyond this, a written batch's memory is given back.
constexpr size_t kKeptBatchCapacity = 4 << 10;

}  // namespace

void Outbox::AppendRaw(std::string_view bytes) { pending_.bytes.append(bytes); }

void Outbox::AppendFrame(std::string_view frame, uint32_t units) {
  if (chunked_ && pending_.chunk_at == std::string::npos) {
    pending_.chunk_at = pending_.bytes.size();
    pending_.bytes.append(kChunkLineBytes, '0');
  }
  pending_.bytes.append(frame);
  pending_.frames.push_back({pending_.bytes.size(), units});
}

void Outbox::EndFrames() {
  if (!chunked_) return;
  CloseChunk();
  pending_.bytes.append("0\r\n\r\n");
}

void Outbox::CloseChunk() {
  if (pending_.chunk_at == std::string::npos) return;
  const size_t at = std::exchange(pending_.chunk_at, std::string::npos);
  char line[kChunkLineBytes + 1];
  const size_t size = pending_.bytes.size() - at - kChunkLineBytes;
  const size_t length = std::snprintf(line, sizeof line, "%zx\r\n", size);
  const size_t unused = kChunkLineBytes - length;
  pending_.bytes.replace(at + unused, length, line, length);
  pending_.bytes.append("\r\n");
  if (at == 0) {
    pending_.begin = unused;
    return;
  }
  pending_.bytes.erase(at, unused);  // behind a reply's head: the first write of a stream only
  for (FrameEnd& frame : pending_.frames) frame.offset -= unused;
}

bool Outbox::over_bounds() const {
  const size_t frames = writing_.frames.size() - frames_written_ + pending_.frames.size();
  return frames >= limits_.queued_frames || queued_bytes() >= limits_.queued_bytes;
}

void Outbox::Seal() {
  CloseChunk();
  std::swap(writing_, pending_);
  written_ = writing_.begin;
  frames_written_ = 0;
  pending_.bytes.clear();
  if (pending_.bytes.capacity() > kKeptBatchCapacity) pending_.bytes = {};
  pending_.frames.clear();
  pending_.begin = 0;
}

std::string_view Outbox::Front() {
  if (batch_done() && !pending_.bytes.empty()) Seal();
  return std::string_view(writing_.bytes).substr(written_);
}

void Outbox::Consume(size_t count) {
  written_ += count;
  while (frames_written_ < writing_.frames.size() && writing_.frames[frames_written_].offset <= written_) {
    delivered_units_ += writing_.frames[frames_written_++].units;
  }
}

}  // namespace quire::http
