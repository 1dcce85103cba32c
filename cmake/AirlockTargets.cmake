# Compile settings shared by every target of this project, and the helpers that declare tests and
# benchmarks.
add_library(airlock_settings INTERFACE)
target_compile_options(airlock_settings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                       $<$<BOOL:${AIRLOCK_WERROR}>:-Werror>)
if(AIRLOCK_SANITIZE)
  target_compile_options(airlock_settings INTERFACE -fsanitize=${AIRLOCK_SANITIZE} -fno-omit-frame-pointer)
  # GCC's manual: sanitizers make it warn of variables that are not uninitialised.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(airlock_settings INTERFACE -Wno-maybe-uninitialized)
  endif()
  target_link_options(airlock_settings INTERFACE -fsanitize=${AIRLOCK_SANITIZE})
endif()

# airlock_test(NAME source...): one gtest program of a room, each case a ctest entry.
function(airlock_test name)
  add_executable(${name})
  airlock_sources(${name} ${ARGN})
  # A test's own code is run once: optimising it takes longer than it saves.
  target_compile_options(${name} PRIVATE -O1)
  target_link_libraries(${name} PRIVATE airlock_test_main airlock_runner airlock_settings GTest::gtest GTest::gmock)
  if(AIRLOCK_WORKER)
    target_link_libraries(${name} PRIVATE airlock_worker)
  endif()
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 NO_PRETTY_VALUES
                       PROPERTIES TIMEOUT 300 ENVIRONMENT "OMP_WAIT_POLICY=passive")
endfunction()

# airlock_bench(NAME source...): one Google Benchmark program.
function(airlock_bench name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE airlock_runner airlock_worker airlock_settings benchmark::benchmark_main)
  add_dependencies(bench ${name})
endfunction()
