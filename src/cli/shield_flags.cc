#include "cli/shield_flags.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <memory>

#include <fmt/format.h>

#include "airlock/core/error.h"
#include "airlock/core/quantity.h"
#include "cli/model_source.h"
#include "cli/progress.h"
#include "cli/signals.h"

namespace airlock {
namespace {

LatticeParameters parse_lattice(const std::string& text) {
  LatticeParameters parameters;
  const char* const end = text.data() + text.size();
  const auto degree = std::from_chars(text.data(), end, parameters.degree);
  bool good = degree.ec == std::errc() && degree.ptr != end && *degree.ptr == 'x';
  if (good) {
    const auto rank = std::from_chars(degree.ptr + 1, end, parameters.rank);
    good = rank.ec == std::errc() && rank.ptr == end;
  }
  require(good, ErrorCode::kInvalidArgument,
          "--lattice: `{}` is not a degree and a rank such as 512x3", text);
  try {
    check_lattice(parameters);
  } catch (const Error& error) {
    fail(error.code(), "--lattice: {}", error.what());
  }
  return parameters;
}

}  // namespace

void ShieldFlags::add_to(CLI::App& app) {
  const std::string group = "Pads";
  app.add_option("--dealer", dealer_,
                 "with --pads dealer: address of a second worker, of an operator who does not "
                 "collude with the first")
      ->group(group);
  app.add_option("--pad-memory", pad_gib_, "GiB of pads made ahead at most; 0: none")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  app.add_option("--lattice", lattice_, "degree and rank of lattice pads")
      ->capture_default_str()
      ->group(group);
  app.add_option("--hint-cache", hint_cache_,
                 "folder for the lattice pads' hints, or none; without it hints in $AIRLOCK_CACHE, "
                 "else in ~/.cache/airlock")
      ->group(group);
}

ShieldOptions ShieldFlags::options() const {
  ShieldOptions options;
  options.dealer = dealer_;
  options.pads.memory = bytes_of_gib("--pad-memory", pad_gib_);
  options.pads.lattice = parse_lattice(lattice_);
  if (hint_cache_.empty()) {
    try {
      options.pads.hint_cache = cache_dir() / "hints";
    } catch (const Error&) {
      // Without a home they are fetched each time.
    }
  } else if (hint_cache_ != "none") {
    options.pads.hint_cache = hint_cache_;
  }
  options.pads.stop = signal_stop();
  return options;
}

std::function<void(const char*, std::int64_t, std::int64_t)> shield_progress(bool quiet) {
  struct Shown {
    std::string what;
    std::unique_ptr<Progress> progress;
  };
  return [quiet, shown = std::make_shared<Shown>()](const char* what, std::int64_t done,
                                                    std::int64_t all) {
    if (shown->what != what || shown->progress == nullptr) {
      if (shown->progress) shown->progress->finish();
      shown->what = what;
      shown->progress = std::make_unique<Progress>(fmt::format("shield: {}", what), quiet);
    }
    shown->progress->update(done, all);
    if (done < all) return;
    shown->progress->finish();
    shown->progress.reset();
  };
}

}  // namespace airlock
