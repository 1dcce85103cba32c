# Installs the libraries, their users' headers and a CMake package: find_package(airlock) gives
# airlock::runner and, of a build with a worker, airlock::worker.
include(CMakePackageConfigHelpers)
install(TARGETS airlock_common airlock_runner EXPORT airlockTargets)
# What a user's program begins with; the headers that these include are installed with them.
set(headers chat/template.h core/log.h engine/engine.h engine/generate.h engine/live_plan.h launch/session.h model/tokenizer.h plan/auto_plan.h
            plan/predict.h report/text.h)
if(AIRLOCK_WORKER)
  install(TARGETS airlock_worker EXPORT airlockTargets)
  list(APPEND headers worker/checkpoint_source.h worker/device.h worker/inproc_worker.h worker/server.h)
endif()
install(CODE "set(headers \"${headers}\")
set(from \"${PROJECT_SOURCE_DIR}/src/airlock\")
set(to \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_INCLUDEDIR}/airlock\")
include(\"${PROJECT_SOURCE_DIR}/cmake/InstallHeaders.cmake\")")
install(TARGETS airlock_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(EXPORT airlockTargets NAMESPACE airlock:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/airlock)
configure_package_config_file(cmake/airlockConfig.cmake.in ${PROJECT_BINARY_DIR}/airlockConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/airlock)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/airlockConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/airlockConfig.cmake ${PROJECT_BINARY_DIR}/airlockConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/airlock)
