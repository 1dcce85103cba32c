# Installs libairlock, its headers and a CMake package: find_package(airlock) gives airlock::airlock.
include(CMakePackageConfigHelpers)
install(TARGETS airlock EXPORT airlockTargets)
install(TARGETS airlock_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY src/airlock DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT airlockTargets NAMESPACE airlock:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/airlock)
configure_package_config_file(cmake/airlockConfig.cmake.in ${PROJECT_BINARY_DIR}/airlockConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/airlock)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/airlockConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/airlockConfig.cmake ${PROJECT_BINARY_DIR}/airlockConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/airlock)
