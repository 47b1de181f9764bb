lathe_add_backend(xtensor PACKAGES "xtensor" LINK lathe::lathe xtensor)
