# Reads the Vagrantfile without Vagrant and prints as JSON what it asks for, provider by provider.
#   ruby vagrantfile_reader.rb VAGRANTFILE VAGRANT_VERSION HOST_CPU HOST_SYSTEM KVM|-
# It stands in for Vagrant (its version, its configuration objects) and for the host (processor, system, /dev/kvm).
require "json"
require "rbconfig"

file, version, cpu, system, kvm = ARGV
RbConfig::CONFIG["host_cpu"] = cpu
Object.send(:remove_const, :RUBY_PLATFORM)
RUBY_PLATFORM = "#{cpu}-#{system}"
File.singleton_class.prepend(Module.new { define_method(:exist?) { |path| path == "/dev/kvm" ? kvm == "KVM" : super(path) } })

# Takes any setting and remembers it; a setting with a block is more settings.
class Settings < BasicObject
  def initialize(values = {}) = @values = values

  def method_missing(name, *words, **options, &block)
    if name.end_with?("=")
      @values[name.to_s.chomp("=")] = words.first
    elsif block && name == :ruby
      @values["ruby"] = block
    elsif block || !words.empty? || !options.empty?
      inner = (@values[[name, *words.first(1)].join(" ")] ||= {})
      inner.merge!(options.transform_keys(&:to_s))
      block&.call(::Settings.new(inner))
    else
      ::Settings.new(@values[name.to_s] ||= {})
    end
  end

  def respond_to_missing?(*) = true
end

module Vagrant
  VERSION = ARGV[1]
  module Errors
    class VagrantError < StandardError
      def self.error_message(text) = define_method(:message) { text }
    end
  end
  ASKED = {}
  def self.configure(_) = yield(Settings.new(ASKED))
end

load file
vm = Vagrant::ASKED.fetch("vm")
look = Vagrant::ASKED.dig("trigger", "before up", "ruby")
said = %i[virtualbox libvirt qemu].to_h do |provider|
  look.call(nil, Struct.new(:provider_name).new(provider))
  [provider, nil]
rescue Vagrant::Errors::VagrantError => e
  [provider, e.message]
end
puts JSON.generate({vm: vm, obstacles: said})
