// Command-line options, each declared once: name, default (the variable's value), unit, help and limits. A
// program's main fills an Options with pointers into its own config struct, then parses; --help is printed
// from the same declarations. Not thread-safe; used before any thread starts.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace quire {

struct IntLimits {
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};

class Options {
 public:
  // `summary` is the sentence that --help opens with.
  Options(std::string program, std::string summary);

  // Each target holds the default when declared and must outlive Parse. `unit` is what --help shows for the
  // value ("DIR", "ms", "tokens"); where it is a choice ("warn|error"), Parse takes only one of its words.
  void Add(const std::string& name, std::string* target, const std::string& unit, const std::string& help);
  void Add(const std::string& name, int64_t* target, const std::string& unit, const std::string& help,
           IntLimits limits = {});
  void Add(const std::string& name, double* target, const std::string& unit, const std::string& help);
  // A switch: --name turns it on, --no-name off.
  void Add(const std::string& name, bool* target, const std::string& help);
  // May be given several times; the values are appended.
  void AddList(const std::string& name, std::vector<std::string>* target, const std::string& unit,
               const std::string& help);
  // Parse fails unless the option was given.
  void Require(const std::string& name);

  // Takes --name=value and --name value. InvalidArgument says which flag is wrong, why, and the nearest known
  // name.
  // "--help" sets help_requested(), "--version" version_requested(); both stop reading.
  absl::Status Parse(int argc, const char* const* argv);
  bool help_requested() const { return help_requested_; }
  bool version_requested() const { return version_requested_; }
  std::string Help() const;
  const std::string& program() const { return program_; }

 private:
  struct Option {
    std::string name, unit, help, default_text;
    bool is_switch = false, required = false, given = false;
    std::function<absl::Status(const std::string&)> set;
  };
  Option* Find(const std::string& name);
  // Sets what one flag says; whether the next word was its value.
  absl::StatusOr<bool> Take(const std::string& arg, const char* next);
  absl::Status Unknown(const std::string& name) const;

  std::string program_, summary_;
  std::vector<Option> options_;
  bool help_requested_ = false, version_requested_ = false;
};

// The opening of every main: parses, prints help, version or the error, and says whether to go on. Returns -1
// to go on, else the exit code (0 after --help and --version, 2 after a wrong flag). In library base_program,
// which quire_program links.
int ParseOrExitCode(Options& options, int argc, const char* const* argv);

}  // namespace quire
